//! The walk of an image, as its state sees it.
