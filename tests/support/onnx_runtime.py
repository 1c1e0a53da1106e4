"""ONNX Runtime, which runs exported files without retrial."""

import onnxruntime


def session(content):
    """Load an ONNX file, given by its content or its path, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        content if isinstance(content, bytes) else str(content),
        options,
        providers=["CPUExecutionProvider"],
    )


def answers(content, images):
    """Return the probabilities that an ONNX file gives images."""
    (found,) = session(content).run(["probabilities"], {"images": images})
    return found
