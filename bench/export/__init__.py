"""Networks for elsewhere: in formats that other runtimes read, checked after writing."""
