"""S3, one completion of an upload at a time.

In LocalStack 4.14.0 two at the same time leave an object that has its size and not a byte: one empties the object's file
while the other reads parts that the first has closed. On AWS a completion is made once, however often it is asked for
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html).
"""

import functools
import threading

from localstack.services.s3.provider import S3Provider


def install():
    lock = threading.RLock()
    for name in ("complete_multipart_upload", "abort_multipart_upload"):
        setattr(S3Provider, name, alone(getattr(S3Provider, name), lock))


def alone(handle, lock):
    @functools.wraps(handle)
    def handle_alone(*args, **kwargs):
        with lock:
            return handle(*args, **kwargs)

    return handle_alone
