"""Does τJp cause interference? Arms that change it, statistics, and their figures."""
