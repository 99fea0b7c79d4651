//! Placeholder of the layer.
