MARK = "the model's supervisor"
