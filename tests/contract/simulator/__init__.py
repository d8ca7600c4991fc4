"""The simulator held against the providers' documents, over real HTTP."""
