"""The documentation as a site: the pages of this repository, in both languages, with search."""
