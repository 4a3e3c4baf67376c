"""Detector and six circles to q, real-space voxel basis."""
