# For Sidekiq: a job that shows when it has begun and ends when the file
# "release" exists.
require "sidekiq"

class Slow
  include Sidekiq::Worker

  def perform(name)
    File.write("begun-#{name}", "")
    sleep 0.02 until File.exist?("release")
    File.write("done-#{name}", "")
  end
end
