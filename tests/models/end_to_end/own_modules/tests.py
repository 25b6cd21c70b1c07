MARK = "the model's tests"
