"""The local Krea over HTTP, without latency, with a different picture for each job, far faster than proofs."""

import json

import uvicorn
from rig import LIFE, png

from krea_pipe.local.app import create_app
from krea_pipe.local.job import Job
from krea_pipe.local.server import listen
from krea_pipe.local.server_state import ServerState


def picture(job: Job) -> bytes:
    """One colour, with the job's id after the end of the image, so that no two are the same."""
    return BLANK + job.id.encode()


BLANK = png(1024, 1024, noise=False)


def main() -> None:
    """Serve until the process is ended."""
    config = uvicorn.Config(
        create_app(ServerState(latency=0, image_of=picture)), log_level="critical", timeout_keep_alive=LIFE
    )
    with listen("127.0.0.1", 0) as listener:
        print(json.dumps({"base": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
