curl -X POST https://api.krea.ai/generate/image/krea/krea-2/medium \
  -H "Authorization: Bearer $KREA_API_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "prompt": "A cinematic product photo of a glass lamp on a marble table",
    "aspect_ratio": "4:5",
    "resolution": "1K",
    "creativity": "medium"
  }'

# Then poll the returned job_id
curl https://api.krea.ai/jobs/<job_id> \
  -H "Authorization: Bearer $KREA_API_TOKEN"
