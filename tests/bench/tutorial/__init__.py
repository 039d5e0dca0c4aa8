"""The tutorial way, for comparison: what one writes after reading the first page of each library's guide."""
