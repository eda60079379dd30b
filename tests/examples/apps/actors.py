"""The same job as a dramatiq actor."""
import dramatiq
import jobs
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker())
slow = dramatiq.actor(jobs.slow)
