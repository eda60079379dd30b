# The app of the Ruby servers. A request takes 5 ms, and one second under /slow. If $TOLD
# is set, each TERM adds a line with the process ID and the requests in flight to that
# file, before the server's own handler runs.
waiting = 0
counting = Mutex.new
if ENV["TOLD"]
  theirs = trap("TERM") do
    File.write(ENV["TOLD"], "#{$$} #{waiting}\n", mode: "a")
    theirs.call
  end
end

run lambda { |env|
  counting.synchronize { waiting += 1 }
  begin
    sleep(env["PATH_INFO"] == "/slow" ? 1 : 0.005)
  ensure
    counting.synchronize { waiting -= 1 }
  end
  # In a pod, the host name is the pod's name.
  pod = ENV["HOSTNAME"] ? { "x-pod" => ENV["HOSTNAME"] } : {}
  [200, { "content-type" => "text/plain", **pod }, ["ok\n"]]
}
