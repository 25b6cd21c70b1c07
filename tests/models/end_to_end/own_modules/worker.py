MARK = "the model's worker"
