"""Rolling deploys of real servers under load, for `make demo` and `make e2e`.

sandbox  namespaces of the run's own, ports, packages, temporary files
pod      one replica: an init as PID 1 of its own PID namespace, and its app
stack    the way to the pods: nginx and HAProxy, and what takes an endpoint out
load     the requests, and what became of each
deploy   the rolling deploy itself
"""
