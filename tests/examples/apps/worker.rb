# For Sidekiq: a job that says when it has begun and ends when the file
# "release" is there.
require "sidekiq"

class Slow
  include Sidekiq::Worker

  def perform(name)
    File.write("begun-#{name}", "")
    sleep 0.02 until File.exist?("release")
    File.write("done-#{name}", "")
  end
end
