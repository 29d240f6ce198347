"""Batches: splits, loader, augmentation, targets, distillation."""
