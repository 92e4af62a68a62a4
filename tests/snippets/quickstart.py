import os
import time
import requests

API_BASE = "https://api.krea.ai"
API_TOKEN = os.environ["KREA_API_TOKEN"]

def wait_for_job(job_id):
    while True:
        response = requests.get(
            f"{API_BASE}/jobs/{job_id}",
            headers={"Authorization": f"Bearer {API_TOKEN}"},
        )
        response.raise_for_status()
        job = response.json()
        if job["status"] == "completed":
            return job
        if job["status"] in ("failed", "cancelled"):
            raise RuntimeError(f"Job {job['status']}")
        time.sleep(3)

response = requests.post(
    f"{API_BASE}/generate/image/krea/krea-2/medium",
    headers={
        "Authorization": f"Bearer {API_TOKEN}",
        "Content-Type": "application/json",
    },
    json={
        "prompt": "A cinematic product photo of a glass lamp on a marble table",
        "aspect_ratio": "4:5",
        "resolution": "1K",
        "creativity": "medium",
    },
)
response.raise_for_status()
job = wait_for_job(response.json()["job_id"])
print(job["result"]["urls"])
