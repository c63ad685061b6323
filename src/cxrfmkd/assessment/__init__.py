"""What a student kept of its teacher, and which seed and loss is selected."""
