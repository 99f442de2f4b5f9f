//! A training-loop framework in the style of PyTorch Lightning, built on burn.
