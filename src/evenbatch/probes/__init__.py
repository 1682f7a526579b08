"""What is measured while a model trains. A probe returns numbers; it draws nothing and writes nothing."""
