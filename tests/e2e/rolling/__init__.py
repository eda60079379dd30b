"""Rolling deploys of real servers under load, for `make demo` and `make e2e`.

sandbox     the run's namespaces, ports, packages, temporary files
pod         one replica: an init as PID 1 of its own PID namespace, and its app
stack       the path to the pods: nginx and HAProxy, and the removal of endpoints
load        the requests and their outcomes; generator.py sends them
deploy      the rolling deploy itself
apps        the servers, and the packages for them
ways        how a server is run: no init, dumb-init, the recipe, drain-init
rows        the table: which server, how it is run, how it is reached
experiment  one row of it, measured
measured    whether drain-init's own measurement agrees with the load
pools       a row of keep-alive clients without a proxy
report      the table in Markdown, and the broken promises
"""
