"""Models: the folder MLflow loads, the registry, ONNX export."""
