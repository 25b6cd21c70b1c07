MARK = "the model's protocol"
