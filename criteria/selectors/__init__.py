"""One small file a selector; every module here is imported by the registry."""
