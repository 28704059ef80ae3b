"""The checks of the ``verify`` command, in the order of a run.

* `stacks` reads the templates and the physical ids of the deployed stacks.
* `parts` compares each part with its template: a table of parts, one function per part.
* `messages` publishes marked messages through AWS IoT, looks where they arrive, and removes them again.
* `paging` follows the message of one alarm, if asked to.
* `findings` has the results, `permissions` the IAM policy of a run.
"""
