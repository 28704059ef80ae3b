"""The pipeline of the example as the library's peers build it, each in an environment of its own."""
