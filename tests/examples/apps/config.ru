# For puma and Passenger. /slow begins its answer and ends it when the file
# "release" is there: so a test knows that the request is in flight.
run lambda { |env|
  body = ["fast\n"]
  if env["PATH_INFO"] == "/slow"
    body = Enumerator.new do |out|
      out << "begun\n"
      sleep 0.02 until File.exist?("release")
      out << "done\n"
    end
  end
  [200, { "Content-Type" => "text/plain" }, body]
}
