"""From records to batches: order of examples, augmentation, reading ahead."""
