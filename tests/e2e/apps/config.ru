# The app of the Ruby servers: 5 ms of work; one second under /slow. Where $TOLD
# is set, each TERM adds a line to that file, process ID and requests in flight,
# before the server's own handler gets it.
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
  # In a pod that is its name.
  pod = ENV["HOSTNAME"] ? { "x-pod" => ENV["HOSTNAME"] } : {}
  [200, { "content-type" => "text/plain", **pod }, ["ok\n"]]
}
