-- wrk's own counts, for the caller: requests, and each kind of failure.
done = function(summary, latency, requests)
   local e = summary.errors
   io.stderr:write(string.format(
      '{"requests": %d, "non2xx": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
      summary.requests, e.status, e.connect, e.read, e.write, e.timeout))
end
