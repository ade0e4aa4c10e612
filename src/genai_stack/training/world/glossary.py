"""What the built-in model can say about itself, generative AI and the weather of small talk."""

from __future__ import annotations

ABOUT = (
    ("Hello!", "Hello! How can I help you?"),
    ("Hi", "Hello! How can I help you?"),
    ("Hi there!", "Hello! How can I help you?"),
    ("Hello, how are you?", "I am well, thank you. How can I help you?"),
    ("How are you?", "I am well, thank you. How can I help you?"),
    ("Good morning!", "Good morning! How can I help you?"),
    ("Good evening!", "Good evening! How can I help you?"),
    ("Hey", "Hello! How can I help you?"),
    ("Thanks!", "You are welcome!"),
    ("Thank you.", "You are welcome!"),
    ("Thank you very much!", "You are welcome!"),
    ("Bye", "Goodbye!"),
    ("Goodbye!", "Goodbye!"),
    ("See you later.", "Goodbye!"),
    ("Who are you?", "I am a small language model. I run on this machine."),
    ("What are you?", "I am a small language model. I run on this machine."),
    ("What is your name?", "I am the built-in model of genai-stack."),
    ("Are you a person?", "No, I am a small language model."),
    ("Are you there?", "Yes, I am here."),
    ("Can you help me?", "Yes. Give me a short text and a question about it."),
    (
        "What can you do?",
        "I can answer questions about a short text, summarise it, sort it by label, fill in JSON and call tools.",
    ),
    (
        "What can you do for me?",
        "I can answer questions about a short text, summarise it, sort it by label, fill in JSON and call tools.",
    ),
    (
        "Help",
        "Give me a short text and a question about it. I can also summarise, sort by label and fill in JSON.",
    ),
    ("What can't you do?", "I am small. I know little about the world outside the text you give me."),
    ("Tell me a joke.", "Why did the token stop? It met the end of the text."),
    ("Say hello.", "Hello!"),
    ("Say hi.", "Hi!"),
    ("Tell me about yourself.", "I am a small language model. I was trained on a small made-up world."),
    ("Who made you?", "I was trained by the training program of genai-stack."),
    ("Do you know everything?", "No. I am small and I know only a little."),
)
"""Questions with one fixed answer."""

TERMS = (
    (
        "a token",
        "A token is a piece of text, such as a word or a part of a word. A model reads and writes tokens.",
    ),
    ("a tokenizer", "A tokenizer splits text into tokens and joins tokens into text."),
    ("the vocabulary", "The vocabulary is the list of all tokens that a model knows."),
    (
        "an embedding",
        "An embedding is a list of numbers that stands for a text. Texts with similar meaning have similar numbers.",
    ),
    ("a vector", "A vector is a list of numbers. A model works with vectors instead of words."),
    (
        "attention",
        "Attention lets a model look back at earlier tokens and decide which of them matter for the next one.",
    ),
    ("a transformer", "A transformer is a neural network made of layers of attention."),
    ("softmax", "Softmax turns a list of scores into probabilities that add up to one."),
    ("a logit", "A logit is the score of a token before softmax makes a probability of it."),
    ("temperature", "Temperature sets how random the answers are. Zero always takes the most likely token."),
    ("sampling", "Sampling picks the next token by chance, by the probabilities of the model."),
    ("greedy decoding", "Greedy decoding always takes the most likely token."),
    (
        "a foundation model",
        "A foundation model is a large model trained on broad data. It can be adapted to many tasks.",
    ),
    ("a language model", "A language model predicts the next token of a text."),
    ("a large language model", "A large language model is a language model with billions of weights."),
    ("generative AI", "Generative AI makes new text, images or sound from what it learned from data."),
    (
        "artificial intelligence",
        "Artificial intelligence is software that does tasks for which people need to think.",
    ),
    ("machine learning", "Machine learning lets a program learn from examples instead of rules."),
    ("a neural network", "A neural network is a function with many weights that are learned from data."),
    ("a weight", "A weight is a number in a model that training changes."),
    ("a parameter", "A parameter is a number that a model has learned. Models have millions of them."),
    ("a layer", "A layer is one step of a neural network. It turns vectors into new vectors."),
    ("training", "Training changes the weights of a model until it predicts its data well."),
    ("pretraining", "Pretraining is the first training of a model, on a lot of text."),
    ("fine-tuning", "Fine-tuning trains a model a little more on examples of one task."),
    (
        "instruction tuning",
        "Instruction tuning trains a model on questions and answers, so that it does what it is told.",
    ),
    (
        "LoRA",
        "LoRA is a cheap way of fine-tuning. It trains two small matrices and leaves the base model as it is.",
    ),
    ("inference", "Inference is running a trained model to get an answer."),
    ("a prompt", "A prompt is the text that you give to a model."),
    ("a system prompt", "A system prompt tells a model how to behave before the conversation begins."),
    (
        "few-shot learning",
        "Few-shot learning shows a model some examples in the prompt, and it goes on like them.",
    ),
    ("the context window", "The context window is the number of tokens that a model can read at once."),
    ("hallucination", "A hallucination is an answer that sounds right but is not true."),
    ("overfitting", "Overfitting means that a model learns its examples by heart and does badly on new ones."),
    ("the loss", "The loss is a number that says how wrong a model is. Training makes it smaller."),
    ("a batch", "A batch is a group of examples that a model works on together."),
    ("an epoch", "An epoch is one pass of training over all examples."),
    ("the learning rate", "The learning rate says how far each training step moves the weights."),
    (
        "quantization",
        "Quantization stores the weights with fewer bits, so that a model gets smaller and faster.",
    ),
    (
        "retrieval",
        "Retrieval finds texts that fit a question, so that a model can answer from them.",
    ),
    ("a vector store", "A vector store keeps embeddings of texts and finds those that are near a question."),
    ("an agent", "An agent is a model that uses tools to reach a goal."),
    ("a chatbot", "A chatbot is a program that talks with people. Many are built on language models."),
    ("a GPU", "A GPU is a chip that does many sums at once. Models are trained on GPUs."),
    ("an API", "An API is a way for programs to use a service."),
    ("an endpoint", "An endpoint is an address at which a hosted model answers."),
    (
        "the training layer",
        "The training layer is the bottom layer. It provides machines to train and fine-tune models.",
    ),
    (
        "the hosting layer",
        "The hosting layer is the middle layer. It gives access to foundation models behind a name.",
    ),
    ("the service layer", "The service layer is the top layer. It offers ready-made applications over an API."),
)
"""A term with its article, and what it is."""

TERM_QUESTIONS = (
    "What is {}?", "Explain {}.", "What does {} mean?", "Can you explain {}?", "Tell me what {} is.",
    "In generative AI, what is {}?", "Explain {} in simple words.", "Please explain {}.", "Do you know what {} is?",
    "What is meant by {}?", "I want to know what {} is.", "Tell me about {}.", "Say what {} is.", "{}: what is it?",
    "Can you tell me what {} is?", "Please tell me what {} means.",
)  # fmt: skip

LAYERS = "The three layers are training at the bottom, hosting in the middle and services at the top."
LAYER_QUESTIONS = (
    "What are the three layers?", "What are the three layers of generative AI?",
    "Name the three layers of the stack.",
    "Which layers does the stack have?", "What are the layers of a generative AI stack?", "Name the three layers.",
    "Which three layers does generative AI have?", "What are the three layers of the stack?",
)  # fmt: skip

UNKNOWN = "I do not know."

OUTSIDE = (
    "Who won the last election?",
    "What is the capital of the moon?",
    "How many people live on Earth?",
    "Who is the president?",
    "What will the stock market do?",
    "Who wrote this?",
    "What did I do yesterday?",
    "How tall is my house?",
    "When was I born?",
    "What is my password?",
    "Where did I leave my keys?",
    "What is the meaning of life?",
    "Which film is the best?",
    "What time is it?",
    "What day is it today?",
)
