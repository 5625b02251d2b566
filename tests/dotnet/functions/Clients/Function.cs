using System.Text.RegularExpressions;
using Amazon.DynamoDBv2;
using Amazon.Lambda.Core;
using Amazon.Lambda.Serialization.SystemTextJson;
using Amazon.S3;
using Amazon.S3.Model;

[assembly: LambdaSerializer(typeof(DefaultLambdaJsonSerializer))]

namespace Clients;

/// <summary>Says by which access key each client signs, before the snapshot and now.</summary>
public partial class Function
{
    private readonly AmazonS3Client s3 = new();

    private readonly AmazonDynamoDBClient table =
        new(new AmazonDynamoDBConfig { ServiceURL = Table.Address, MaxErrorRetry = 0 });

    private readonly Dictionary<string, string> before;

    public Function() => before = Keys();

    public Dictionary<string, Dictionary<string, string>> Handle() =>
        new() { ["before"] = before, ["now"] = Keys() };

    private Dictionary<string, string> Keys()
    {
        var url = s3.GetPreSignedURL(
            new GetPreSignedUrlRequest
            {
                BucketName = "bucket",
                Key = "key",
                Expires = DateTime.UtcNow.AddMinutes(1),
            });
        using var server = new Table();
        var request = server.AnswerOneAsync();
        table.ListTablesAsync().GetAwaiter().GetResult();
        return new() { ["s3"] = Key(url), ["dynamodb"] = Key(request.GetAwaiter().GetResult()) };
    }

    private static string Key(string text) => Credential().Match(text).Groups[1].Value;

    [GeneratedRegex("Credential=([A-Z0-9]+)")]
    private static partial Regex Credential();
}
