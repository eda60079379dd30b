"""Rolling deploys of real servers under load, for `make demo` and `make e2e`.

sandbox     namespaces of the run's own, ports, packages, temporary files
pod         one replica: an init as PID 1 of its own PID namespace, and its app
stack       the way to the pods: nginx and HAProxy, and what takes an endpoint out
load        the requests, and what became of each; generator.py sends them
deploy      the rolling deploy itself
apps        the servers, and what is installed for them
ways        how a server is run: no init, dumb-init, the recipe, drain-init
rows        the table: which server, run how, reached how
experiment  one row of it, measured
measured    whether drain-init's own measurement agrees with the load
pools       a row of keep-alive clients without a proxy
report      the table in Markdown, and the promises that did not hold
"""
