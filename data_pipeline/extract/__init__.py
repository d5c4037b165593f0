"""From videos to face crops: frames, faces, boxes, crops, on one machine or many."""
