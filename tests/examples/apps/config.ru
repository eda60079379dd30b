# For puma, unicorn and Passenger. /slow begins its answer and ends it when the file
# "release" exists; /late begins it only then. Both show a test that the request is in
# flight: /slow with its first line, /late with the file "begun-late".
# The page's middleware, if the test wrote it here.
instance_eval(File.read("draining.ruby")) if File.exist?("draining.ruby")

run lambda { |env|
  body = ["fast\n"]
  case env["PATH_INFO"]
  when "/slow"
    body = Enumerator.new do |out|
      out << "begun\n"
      sleep 0.02 until File.exist?("release")
      out << "done\n"
    end
  when "/late"
    File.write("begun-late", "")
    sleep 0.02 until File.exist?("release")
  end
  [200, { "Content-Type" => "text/plain" }, body]
}
