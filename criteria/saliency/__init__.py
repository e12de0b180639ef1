"""One small file a family of scores; every module here is imported by the registry."""
