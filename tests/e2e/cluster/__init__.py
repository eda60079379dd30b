"""The parts of `make e2e-kubernetes`:

kubectl     the cluster: the context, a namespace, the images
watch       the states and the logs of the pods
load        the loader's pod and its requests
deploys     the rows that are deployed under load
pods        the rows that need only one pod
report      the tables, the page and the picture, made from the data
image/      the images, and the programs that run only in them
"""
