"""Every right that is given, one by one: whatever else a role could do is a change of this table."""

from __future__ import annotations

from tests.cdk.templates import Template, listed, of_type, one, plain, text

HERE = "<AWS::Region>:<AWS::AccountId>"
ARTEFACTS = "<StorageArtefacts.Arn>"
KEY = ("<StorageKey.Arn>", {"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"})
READ_IMAGE = (
    "arn:<AWS::Partition>:ecr:<AWS::Region>:<Registries>:repository/huggingface-pytorch-training",
    {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
)
WORK = [
    (ARTEFACTS, {"s3:ListBucket"}),
    (f"{ARTEFACTS}/*", {"s3:GetObject"}),
    (
        f"{ARTEFACTS}/jobs/*",
        {"s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"},
    ),
    ("PROGRAM", {"s3:GetObject"}),
    KEY,
]
PUBLISHED = [
    (f"arn:<AWS::Partition>:ssm:{HERE}:parameter/genai-stack/dev/training{below}", {"ssm:GetParametersByPath"})
    for below in ("", "/*")
]


def log(resource: str) -> tuple[str, set[str]]:
    return (resource, {"logs:CreateLogStream", "logs:PutLogEvents"})


RIGHTS: dict[str, list[tuple[str, set[str]]]] = {
    "RolesInstance": [
        (
            f"arn:<AWS::Partition>:ecs:{HERE}:cluster/*",
            {
                *("ecs:RegisterContainerInstance", "ecs:DeregisterContainerInstance"),
                *("ecs:SubmitContainerStateChange", "ecs:SubmitTaskStateChange"),
                "ecs:SubmitAttachmentStateChanges",
            },
        ),
        (
            f"arn:<AWS::Partition>:ecs:{HERE}:container-instance/*",
            {"ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"},
        ),
        ("*", {"ecs:DiscoverPollEndpoint"}),
        ("*", {"cloudwatch:PutMetricData"}),
    ],
    "RolesExecution": [READ_IMAGE, ("*", {"ecr:GetAuthorizationToken"}), log("<StorageJobLog.Arn>")],
    "RolesJob": WORK,
    "RolesManaged": [
        READ_IMAGE,
        ("*", {"ecr:GetAuthorizationToken"}),
        *WORK,
        (f"arn:<AWS::Partition>:logs:{HERE}:log-group:/aws/sagemaker/TrainingJobs", {"logs:CreateLogGroup"}),
        (
            f"arn:<AWS::Partition>:logs:{HERE}:log-group:/aws/sagemaker/TrainingJobs:*",
            {"logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"},
        ),
        ("*", {"cloudwatch:PutMetricData"}),
    ],
    "EventsRole": [
        log("<StorageEventsLog.Arn>"),
        *PUBLISHED,
        *((resource.replace("/training", "/hosting"), actions) for resource, actions in PUBLISHED),
        ("<EventsFailed.Arn>", {"sqs:SendMessage"}),
        ("<StorageRecords.Arn>", {"dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}),
        (ARTEFACTS, {"s3:ListBucket"}),
        (f"{ARTEFACTS}/jobs/*", {"s3:GetObject"}),
        KEY,
    ],
    "BudgetRole": [
        log("<StorageBudgetLog.Arn>"),
        *PUBLISHED,
        ("<BudgetFailed.Arn>", {"sqs:SendMessage"}),
        ("<SpotQueue.JobQueueArn>", {"batch:UpdateJobQueue"}),
        ("<MultiNodeQueue.JobQueueArn>", {"batch:UpdateJobQueue"}),
        ("<SpotEnvironment.ComputeEnvironmentArn>", {"batch:UpdateComputeEnvironment"}),
        ("<MultiNodeEnvironment.ComputeEnvironmentArn>", {"batch:UpdateComputeEnvironment"}),
        ("<AlarmsTopic>", {"sns:Publish"}),
        ("<StorageKey.Arn>", {"kms:Decrypt", "kms:GenerateDataKey"}),
    ],
}
TRUST = {
    "RolesInstance": ("ec2.amazonaws.com", False),
    "RolesExecution": ("ecs-tasks.amazonaws.com", True),
    "RolesJob": ("ecs-tasks.amazonaws.com", True),
    "RolesManaged": ("sagemaker.amazonaws.com", True),
    "EventsRole": ("lambda.amazonaws.com", False),
    "BudgetRole": ("lambda.amazonaws.com", False),
}


def rights(template: Template) -> dict[str, list[tuple[str, str]]]:
    """Each role's (resource, action) pairs, sorted; the program's object is called PROGRAM."""
    given: dict[str, list[tuple[str, str]]] = {}
    for policy in of_type(template, "IAM::Policy").values():
        (role,) = policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for resource in listed(statement["Resource"]):
                name = text(resource)
                name = "PROGRAM" if name.endswith(".zip") and ":s3:::cdk-" in name else name
                pairs = given.setdefault(plain(role["Ref"]), [])
                pairs += [(name, action) for action in listed(statement["Action"])]
    return {role: sorted(pairs) for role, pairs in given.items()}


def test_a_role_may_do_what_the_table_says_and_no_more(template: Template) -> None:
    want = {
        role: sorted((resource, action) for resource, actions in rows for action in actions)
        for role, rows in RIGHTS.items()
    }
    assert rights(template) == want


def test_a_role_is_taken_by_its_service_for_this_account(template: Template) -> None:
    roles = of_type(template, "IAM::Role")
    assert {plain(id) for id in roles} == set(TRUST)
    for id, role in roles.items():
        service, bound = TRUST[plain(id)]
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Effect"] == "Allow"
        assert (statement["Action"], statement["Principal"]) == ("sts:AssumeRole", {"Service": service})
        if bound:
            assert text(statement["Condition"]["StringEquals"]["aws:SourceAccount"]) == "<AWS::AccountId>"
        assert "ManagedPolicyArns" not in role
    assert [text(r) for r in one(template, "IAM::InstanceProfile")["Roles"]] == ["<RolesInstance>"]


def test_metrics_go_into_the_stage_s_own_namespace(template: Template) -> None:
    namespaces = {
        statement["Condition"]["StringEquals"]["cloudwatch:namespace"]
        for policy in of_type(template, "IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if "cloudwatch:PutMetricData" in listed(statement["Action"])
    }
    assert namespaces == {"genai-stack/dev", "/aws/sagemaker/TrainingJobs"}


def test_a_training_job_in_our_network_makes_its_interfaces(template: Template, reserved: Template) -> None:
    for stack, some in ((template, False), (reserved, True)):
        acts = {action for _, action in rights(stack)["RolesManaged"] if action.startswith("ec2:")}
        assert bool(acts) == some
    assert "ec2:CreateNetworkInterfacePermission" in acts
    assert len(acts) == 9


def test_a_private_image_is_pulled_from_its_own_repository(reserved: Template) -> None:
    pulled = {
        resource for resource, action in rights(reserved)["RolesExecution"] if action == "ecr:BatchGetImage"
    }
    assert pulled == {"arn:${AWS::Partition}:ecr:eu-west-1:123456789012:repository/mine"}
