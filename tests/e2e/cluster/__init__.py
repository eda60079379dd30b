"""The parts of `make e2e-kubernetes`:

kubectl     the cluster: the context, a namespace, the images
watch       what becomes of the pods, and what they say
load        the loader's pod, and its requests
deploys     the rows that are deployed under load
pods        the rows of one pod each
report      the table, the page and the picture, from the data
image/      the images that all of it runs in, and what stands in them only
"""
