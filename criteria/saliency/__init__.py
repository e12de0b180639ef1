"""One small file a score; every module here is imported by the registry."""
