"""Multi-attentional deepfake detection: the network, its losses and its augmentation."""
