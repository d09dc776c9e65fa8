"""Activation functions: catalogue, registry, layers with weights or noise, kernels, plug-ins."""
