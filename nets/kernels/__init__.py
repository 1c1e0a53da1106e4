"""The fast form of a network, in pure NumPy: see `nets.kernels.plan`, which chooses it.

============================  =================================================================
`plan`                        which kernels compute a network: the one place that chooses
`executor`, `passes`          a mini-batch in parts, depth first, over any number of threads
`base`, `workspace`, `views`  what a kernel is, whose memory it works on, strided views
`winograd`, `convolution`     correlation with few multiplications, and its gradients
`first_layer`, `pooling`, `affine`, `batch_normalization`, `dropout`, `rectifier`
                              the other layers
`cross_entropy`               softmax and loss
`plain`                       any other layer, as it is
============================  =================================================================

docs/kernels.md explains the ideas in the order of what they gain.
"""
