"""The command line ``iot-constructs``. The ``redrive`` command needs boto3, from the extra ``ops``."""
