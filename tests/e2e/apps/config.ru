# The app of the Ruby servers: 5 ms of work; one second under /slow.
run lambda { |env|
  sleep(env["PATH_INFO"] == "/slow" ? 1 : 0.005)
  [200, { "content-type" => "text/plain" }, ["ok\n"]]
}
