"""Starts LocalStack in host mode with fixes made in memory; the installed package stays as it came.

Each module of `fixes` says what it mends. They are made before LocalStack starts, so one that no longer fits ends the
start instead of being passed over, as a plug-in would be.
"""

import fixes.database
import fixes.functions
import fixes.gateway
import fixes.objects
import fixes.process
import fixes.queues

fixes.process.install()
fixes.functions.install()
fixes.queues.install()
fixes.gateway.install()
fixes.objects.install()
fixes.database.install()

if __name__ == "__main__":
    from localstack.runtime.main import main

    main()
