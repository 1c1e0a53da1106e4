"""The fast form of a network, in pure NumPy: see `nets.kernels.plan`, which chooses it.

============================  =================================================================
`plan`                        chooses the kernels that compute a network
`executor`, `passes`          compute a mini-batch in parts, depth first, over any number of threads
`base`, `workspace`, `views`  the interface of a kernel, its memory, strided views
`winograd`, `convolution`     correlation with few multiplications, and its gradients
`first_layer`, `pooling`, `affine`, `batch_normalization`, `dropout`, `rectifier`
                              the other layers
`cross_entropy`               softmax and loss
`plain`                       any other layer, unchanged
============================  =================================================================

docs/kernels.md explains the ideas in the order of their gain.
"""
