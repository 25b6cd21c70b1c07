MARK = "the model's httpx"
